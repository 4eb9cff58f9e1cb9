import './style.css';
import { t } from './i18n';

const app = document.getElementById('app');
app?.append(`${t('brand.place')} ${t('brand.name')}`);
